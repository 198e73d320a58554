"""Text of many languages as a stream of documents, split into what is trained on and what is measured on."""
