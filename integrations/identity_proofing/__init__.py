"""Identity proofing: the registers of the population and of the carriers, checks of faces and bank cards.

The default is the sandbox (`sandbox`). A real provider is a module next to it, with a class that implements
`IdentityProofing`.
"""

from backend.city.service import Integration
from backend.services.account.ports import IdentityProofing
from integrations.identity_proofing.sandbox import make

integration = Integration(port=IdentityProofing, make=make, development=True)
