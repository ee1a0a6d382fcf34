"""What schemathesis needs to be told of this API: bodies of its own media types are texts."""

import schemathesis

schemathesis.serializer.alias(["application/x-ndjson", "application/atom+xml"], "text/plain")
