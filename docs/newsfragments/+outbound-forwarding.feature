Outbound: aliases can lead to other systems; the sender is rewritten (SRS), so that SPF still passes.
