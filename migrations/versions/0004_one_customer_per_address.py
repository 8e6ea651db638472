"""one customer per address: fill email_key from email"""
from alembic import op
import sqlalchemy as sa

revision = "e90a7b3c51d6"
down_revision = "27e5c8d90a14"
branch_labels = None
depends_on = None


def upgrade():
    op.add_column("customers", sa.Column("email_key", sa.Text))
    customers = sa.table("customers", sa.column("email", sa.Text), sa.column("email_key", sa.Text))
    op.execute(customers.update().values(email_key=sa.func.lower(customers.c.email)))
    op.alter_column("customers", "email_key", nullable=False)
    op.create_unique_constraint("uq_customers_email_key", "customers", ["email_key"])


def downgrade():
    op.drop_constraint("uq_customers_email_key", "customers")
    op.drop_column("customers", "email_key")
