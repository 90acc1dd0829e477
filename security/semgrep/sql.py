def by_argument():
    # ruleid: request-data-in-sql
    return fetch_all(f"SELECT id FROM orders WHERE number = '{request.args['number']}'")


def by_a_detour():
    order = request.form.get("order", "id")
    statement = "SELECT id FROM orders ORDER BY " + order
    # ruleid: request-data-in-sql
    return database.execute_sql(statement)


def as_a_parameter():
    # ok: request-data-in-sql
    return fetch_all("SELECT id FROM orders WHERE number = %s", (request.args["number"],))


def as_a_number():
    # ok: request-data-in-sql
    return fetch_all(f"SELECT id FROM orders LIMIT {int(request.args['rows'])}")


def of_a_lane(lane, ids):
    # ok: sql-put-together
    return fetch_all(f"SELECT id FROM {lane.table} WHERE id = ANY (%s)", (ids,))


def put_together(cursor, number):
    # ruleid: sql-put-together
    cursor.execute("SELECT id FROM orders WHERE number = '%s'" % number)
    # ruleid: sql-put-together
    cursor.execute("SELECT id FROM orders WHERE number = '{}'".format(number))
    # ruleid: sql-put-together
    cursor.execute("SELECT id FROM orders WHERE number = '" + number + "'")
    # ok: sql-put-together
    cursor.execute("SELECT id FROM orders WHERE number = %s", (number,))
    # ok: sql-put-together
    cursor.execute("SELECT id FROM orders" + _ORDER, ())
    # ok: sql-put-together
    cursor.execute(TABLE.format(role=role))
