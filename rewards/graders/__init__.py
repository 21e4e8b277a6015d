"""OpenAI's and Azure's grader files: read, checked and evaluated here, since their own service closes."""
