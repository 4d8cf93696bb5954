"""What tests share: projects, repositories and documents that are made for them."""
