"""totals of orders, computed for those that are there"""
from alembic import op
import sqlalchemy as sa

revision = "f06d8c51e2a7"
down_revision = "3ab6f29c04e8"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("orders", sa.Column("total", sa.Numeric(12, 2)))
    orders = sa.table("orders", *map(sa.column, ("product_id", "quantity", "discount", "total")))
    products = sa.table("products", *map(sa.column, ("id", "price")))
    price = sa.select(products.c.price).where(products.c.id == orders.c.product_id).scalar_subquery()
    op.execute(orders.update().values(total=price * orders.c.quantity * (1 - orders.c.discount)))


def downgrade():
    op.drop_column("orders", "total")
