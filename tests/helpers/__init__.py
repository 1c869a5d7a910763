"""What tests share and no package ships: kinds of rings, models, compilers, processes."""
