"""The outside world, one module per provider. A gateway sends bytes and reports what happened; it never touches the
database and never retries: the lane's policy is the only owner of retries."""
