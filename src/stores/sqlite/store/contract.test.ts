import { storeContract } from '../../../testing/store-contract.ts'
import { betterSqlite3 } from '../driver/better-sqlite3.ts'
import { nodeSqlite } from '../driver/node-sqlite.ts'
import { openOn } from './harness.ts'

storeContract('sqlite (better-sqlite3)', openOn(betterSqlite3))
storeContract('sqlite (node:sqlite)', openOn(nodeSqlite))
