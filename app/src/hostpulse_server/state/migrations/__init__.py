"""Migrations of the state database, in the package so that an installed wheel can upgrade."""
