"""What marks the objects of a stack."""

NAMESPACE_LABEL = "com.docker.stack.namespace"  # the stack's name, as Docker has it
IMAGE_LABEL = "com.docker.stack.image"  # of a service: the image as the file names it
VERSION_OF_LABEL = "swarm.stack.version-of"  # of a secret or config: the name without its number
