"""stock of products, made on another branch than the discounts"""
from alembic import op
import sqlalchemy as sa

revision = "d7130e4fa6b9"
down_revision = "e90a7b3c51d6"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("products", sa.Column("stock", sa.Integer, server_default="0", nullable=False))


def downgrade():
    op.drop_column("products", "stock")
