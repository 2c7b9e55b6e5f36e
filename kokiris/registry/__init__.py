"""The client's registry: who may push and pull, what is stored, what may go. The bytes are CNCF Distribution's part."""
