"""The HL7 v2 interface for hospitals.

`mllp_frames` and `mllp_listener` receive messages, `message` parses them, `trigger_events` turns them into commands,
`message_receiver` stores and processes them, and `acknowledgement` writes the replies.
"""
