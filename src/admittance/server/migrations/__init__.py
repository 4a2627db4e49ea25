"""The schema's history, applied by `admittance.server.database.Database.migrate`."""
