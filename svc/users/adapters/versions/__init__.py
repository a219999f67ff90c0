"""How the tables of users became what they are (svc.backends.sql_schema)."""
