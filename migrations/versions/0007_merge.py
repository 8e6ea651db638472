"""merge discounts and stock"""
from alembic import op
import sqlalchemy as sa

revision = "3ab6f29c04e8"
down_revision = ("5c2f81ab9d37", "d7130e4fa6b9")
branch_labels = None
depends_on = None


def upgrade():
    pass


def downgrade():
    pass
