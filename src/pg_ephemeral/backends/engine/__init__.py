"""The container backends: servers in containers, stages as images of Docker or Podman, which differ by a dialect."""
