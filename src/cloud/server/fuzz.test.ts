import { describeFuzz } from '../../../test/cloud/attack/describe-fuzz.ts'
import { STORAGES, type StorageName } from '../../../test/cloud/storages.ts'

for (const name of Object.keys(STORAGES) as StorageName[]) describeFuzz(name, STORAGES[name])
