import time, psycopg2, redis, pytest
from contextlib import closing


@pytest.mark.parametrize("n", range(20))
def test_it(settings_env, empty_database_url, n):
    with closing(psycopg2.connect(settings_env.database_url)) as c, c.cursor() as k:
        k.execute("select count(*) from pg_tables where schemaname='public'")
        assert k.fetchone()[0] > 3
    with closing(psycopg2.connect(empty_database_url)) as c, c.cursor() as k:
        k.execute("select count(*) from pg_tables where schemaname='public'")
        assert k.fetchone()[0] == 0
    with redis.Redis.from_url(settings_env.redis_url) as r:
        assert r.dbsize() == 0
        r.set("a", 1)
