import { betterSqlite3 } from './better-sqlite3.ts'
import { driverContract } from './driver.contract.ts'
import { nodeSqlite } from './node-sqlite.ts'

driverContract(betterSqlite3)
driverContract(nodeSqlite)
