# Of Flask-Migrate.
