"""How the tables of groups became what they are (svc.backends.sql_schema)."""
