"""The shop's tables as the application uses them."""
from sqlalchemy import Column, DateTime, ForeignKey, Integer, MetaData, Numeric, Table, Text, func

metadata = MetaData(naming_convention={
    "ix": "ix_%(table_name)s_%(column_0_name)s",
    "uq": "uq_%(table_name)s_%(column_0_name)s",
    "fk": "fk_%(table_name)s_%(column_0_name)s",
    "pk": "pk_%(table_name)s",
})

customers = Table(
    "customers", metadata,
    Column("id", Integer, primary_key=True),
    Column("name", Text, nullable=False),
    Column("email", Text, nullable=False),
    Column("email_key", Text, nullable=False, unique=True),
)

products = Table(
    "products", metadata,
    Column("id", Integer, primary_key=True),
    Column("title", Text, nullable=False),
    Column("price", Numeric(10, 2), nullable=False),
    Column("stock", Integer, nullable=False, server_default="0"),
)

orders = Table(
    "orders", metadata,
    Column("id", Integer, primary_key=True),
    Column("customer_id", ForeignKey("customers.id"), nullable=False, index=True),
    Column("product_id", ForeignKey("products.id"), nullable=False),
    Column("quantity", Integer, nullable=False),
    Column("discount", Numeric(4, 3), nullable=False, server_default="0"),
    Column("total", Numeric(12, 2)),
    Column("placed_at", DateTime(timezone=True), nullable=False, server_default=func.now()),
)
