"""The fixtures of tests/e2e: the cluster, the operator, a namespace with a database."""
import importlib.util
import pathlib
import sys

E2E = pathlib.Path(__file__).resolve().parents[1] / "e2e"
sys.path.insert(0, str(E2E))
# pytest calls this file conftest, as it does that one.
spec = importlib.util.spec_from_file_location("e2e_fixtures", E2E / "conftest.py")
fixtures = importlib.util.module_from_spec(spec)
spec.loader.exec_module(fixtures)
operator, tidy, shop, space, push = fixtures.operator, fixtures.tidy, fixtures.shop, fixtures.space, fixtures.push
