import { describeAuthority } from '../cloud/attack/describe-authority.ts'
import { describeFuzz } from '../cloud/attack/describe-fuzz.ts'
import { openPostgres } from '../cloud/storages.ts'
import { openTestDatabase } from './database.ts'

const open = async () => openPostgres(await openTestDatabase())
describeAuthority('postgres', open)
// To look at a database costs more than to ask it.
describeFuzz('postgres', open, { some: 0, lookEvery: 10 })
