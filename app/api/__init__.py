"""The service over HTTP: routes, schemas, problems. Nothing else knows that HTTP exists."""
