`Containerfile` and `compose.yaml`: a container with an ordinary user, a read-only root and one volume.
