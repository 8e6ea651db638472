"""discounts on orders"""
from alembic import op
import sqlalchemy as sa

revision = "5c2f81ab9d37"
down_revision = "e90a7b3c51d6"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("orders", sa.Column("discount", sa.Numeric(4, 3), server_default="0", nullable=False))


def downgrade():
    op.drop_column("orders", "discount")
