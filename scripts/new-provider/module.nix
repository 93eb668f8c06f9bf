# Notes on a board, for upstream's `providers.example`.
import ../lib/provider-module.nix ../../schemas/example.json
