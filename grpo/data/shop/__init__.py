"""The generated shop: a database of orders, and rows of the four tasks drawn from it."""

from grpo.data.shop.build import ShopFiles, build_shop

__all__ = ["ShopFiles", "build_shop"]
