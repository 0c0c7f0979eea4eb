import { systemClock } from '../../kernel/clock.ts'
import { seededRandom } from '../../kernel/random.ts'
import type { Store } from '../../engine/store.ts'
import { storeContract } from '../../testing/store-contract.ts'
import type { ContractStatements, OpenOptions, StoreHarness } from '../../testing/store-contract/harness.ts'
import type { Application } from './application.ts'
import { MemoryDatabase } from './database.ts'
import { openMemoryStore } from './store.ts'

const statements = (app: Application): ContractStatements => ({
  async insert(table, row) {
    app.insert(table, row)
  },
  async update(table, where, set) {
    app.update(table, where, set)
  },
  async remove(table, where) {
    app.remove(table, where)
  },
})

async function openHarness(options: OpenOptions): Promise<StoreHarness> {
  const database = new MemoryDatabase({ clock: systemClock, tables: options.tables })
  database.write((app) => {
    for (const [table, rows] of Object.entries(options.rows)) for (const row of rows) app.insert(table, row)
  })
  const random = seededRandom(1)
  const { space, replica } = options
  const open = (): Store => openMemoryStore(database, { clock: systemClock, random, space, replica })
  let store = open()
  return {
    get store() {
      return store
    },
    app: {
      async insert(table, row) {
        database.write((app) => app.insert(table, row))
      },
      async update(table, where, set) {
        database.write((app) => app.update(table, where, set))
      },
      async remove(table, where) {
        database.write((app) => app.remove(table, where))
      },
      rows: async (table) => database.rows(table),
      async transaction(run) {
        // The file's transactions are synchronous: the statements are taken down first and then run together.
        const taken: ((app: ContractStatements) => Promise<void>)[] = []
        let thrown: unknown
        const failed = await run({
          insert: async (table, row) => void taken.push((app) => app.insert(table, row)),
          update: async (table, where, set) => void taken.push((app) => app.update(table, where, set)),
          remove: async (table, where) => void taken.push((app) => app.remove(table, where)),
        }).then(
          () => false,
          (error: unknown) => {
            thrown = error
            return true
          },
        )
        const settled: Promise<void>[] = []
        database.write((app) => {
          for (const statement of taken) settled.push(statement(statements(app)))
          if (failed) throw thrown
        })
        await Promise.all(settled)
      },
      addTable: async (table) => database.addTable(table),
      dropTable: async (table) => database.dropTable(table),
      addColumn: async (table, column) => database.addColumn(table, column),
    },
    async reopen() {
      await store[Symbol.asyncDispose]()
      store = open()
    },
    async crash() {
      store = open()
    },
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]()
    },
  }
}

storeContract('memory', openHarness, { values: 'json' })
