from .config import SyncObjConf as SyncObjConf
from .syncobj import SyncObj as SyncObj
