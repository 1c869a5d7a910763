from typing import final

@final
class Consumer: ...
