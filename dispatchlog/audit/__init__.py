"""The audit chain: what happened is sealed in batches, each seal holds the one before it, and anchors lie elsewhere.

The rules of the chain are in `chain`; `sealing` makes it, `verifying` looks whether it holds, `anchors` writes its head
elsewhere, `exporting` hands it to auditors. `docs/audit.md` says it so that anybody can recompute it.
"""
