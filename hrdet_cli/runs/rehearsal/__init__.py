"""``hrdet train --rehearse``: a run over many processes, planned on one machine."""
