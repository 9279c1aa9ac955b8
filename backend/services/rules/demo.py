"""The rules' part of the demonstration: an author and an approver, who are two people."""

from backend.city.service import Demo, DemoStaff

demo = Demo(
    staff=[
        DemoStaff("+8613800000009", "author of rules", "author"),
        DemoStaff("+8613800000010", "approver of rules", "approver"),
    ]
)
