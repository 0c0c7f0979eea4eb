import { describeAuthority } from '../../../test/cloud/attack/describe-authority.ts'
import { STORAGES, type StorageName } from '../../../test/cloud/storages.ts'

for (const name of Object.keys(STORAGES) as StorageName[]) describeAuthority(name, STORAGES[name])
