"""The thin layer between uvicorn + Falcon and our APIs: serving, errors, bodies, tokens, blocking queries."""
