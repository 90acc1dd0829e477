import hmac
import random
import secrets
import uuid


def fits(given, signature, row):
    # ruleid: secret-compared-with-equals
    if given == signature:
        return True
    # ruleid: secret-compared-with-equals
    if row.webhook_secret != given:
        return False
    # ok: secret-compared-with-equals
    if row.claim_token == given or signature == "":
        return False
    # ok: secret-compared-with-equals
    return hmac.compare_digest(given, signature)


def make():
    # ruleid: secret-made-of-random
    token = random.getrandbits(128)
    # ruleid: secret-made-of-random
    delivery_code = "".join(random.choice("0123456789") for _ in range(6))
    # ruleid: secret-made-of-random
    api_key = uuid.uuid1()
    # ok: secret-made-of-random
    delay = random.uniform(0, 1)
    # ok: secret-made-of-random
    password = secrets.token_urlsafe(16)
    return token, delivery_code, api_key, delay, password


# ruleid: secret-written-here
KEY = "dlk_1_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
# ok: secret-written-here
PREFIX = "dlk_"


def tell(row, log, error):
    # ruleid: somebody-in-a-log
    log.info("SENT", dispatch_id=row.id, recipient=row.recipient)
    # ruleid: somebody-in-a-log
    log.warning("REFUSED", body=row.body)
    # ok: somebody-in-a-log
    log.info("SENT", dispatch_id=row.id, lane=row.lane)
    # ruleid: error-text-in-a-log
    log.error("FAILED", error=str(error))
    # ok: error-text-in-a-log
    log.error("FAILED", error=type(error).__name__, code=error.code)
