"""Tests of emailsys.lab.attackers."""
