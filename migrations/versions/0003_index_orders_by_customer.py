"""an index on the customer of an order"""
from alembic import op
import sqlalchemy as sa

revision = "27e5c8d90a14"
down_revision = "b41d9e6c2f83"
branch_labels = None
depends_on = None


def upgrade():
    op.create_index("ix_orders_customer_id", "orders", ["customer_id"])


def downgrade():
    op.drop_index("ix_orders_customer_id", "orders")
