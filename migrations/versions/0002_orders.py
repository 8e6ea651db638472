"""orders"""
from alembic import op
import sqlalchemy as sa

revision = "b41d9e6c2f83"
down_revision = "8f3c1a5e7b20"
branch_labels = None
depends_on = None


def upgrade():
    op.create_table(
        "orders",
        sa.Column("id", sa.Integer, sa.Identity(), primary_key=True),
        sa.Column("customer_id", sa.Integer, sa.ForeignKey("customers.id", name="fk_orders_customer_id"), nullable=False),
        sa.Column("product_id", sa.Integer, sa.ForeignKey("products.id", name="fk_orders_product_id"), nullable=False),
        sa.Column("quantity", sa.Integer, nullable=False),
        sa.Column("placed_at", sa.DateTime(timezone=True), server_default=sa.func.now(), nullable=False),
    )


def downgrade():
    op.drop_table("orders")
