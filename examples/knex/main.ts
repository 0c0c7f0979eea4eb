// One person's todos on a laptop and a phone, which are two files here, edited at once and brought in step.
import { mkdirSync, rmSync } from 'node:fs'
import { join } from 'node:path'

import { isSyncAvailable, RetryQueue } from 'tidemark'

import { openDatabase } from './database.ts'
import { openSync } from './sync.ts'
import { addTodo, complete, countTodos, createList, describe, remove, rename, setDue } from './todos.ts'

const folder = join(process.cwd(), 'data')
rmSync(folder, { recursive: true, force: true })

async function openDevice(name: string) {
  const home = join(folder, name)
  mkdirSync(home, { recursive: true })
  const knex = openDatabase(join(home, 'todos.db'))
  // The first version of the application.
  await knex.migrate.up()
  const manager = await openSync(knex, join(home, 'tidemark'))
  manager.addEventListener('conflict_detected', ({ data }) => {
    if (data.entityType === 'todos')
      console.log(
        `  ${name}: "${data.localData?.title}" met "${data.remoteData?.title}"; both are kept in the inbox`,
      )
  })
  return { name, knex, manager, queue: new RetryQueue(knex, { home: join(home, 'tidemark') }) }
}

if (!isSyncAvailable()) {
  console.log('Set TIDEMARK_ENDPOINT and TIDEMARK_TOKEN; the README says how to start a cloud.')
  process.exit(1)
}

const laptop = await openDevice('laptop')
const phone = await openDevice('phone')
const devices = [laptop, phone]

const syncAll = async (): Promise<void> => {
  // Until each has what the others sent.
  for (const { name, manager } of [laptop, phone, laptop]) {
    const { pushed, received } = await manager.sync()
    console.log(`  ${name}: ${pushed} sent, ${received} received`)
  }
}

try {
  console.log('A list is made on the laptop, in one transaction:')
  const list = await createList(laptop.knex, 'Party', ['Buy bread', 'Call Ada', 'Clean up', 'Ask Bob'])
  await syncAll()

  console.log('Both are edited offline, one title on both:')
  await rename(laptop.knex, 'Buy bread', 'Buy rye bread')
  await remove(laptop.knex, 'Ask Bob')
  await addTodo(laptop.knex, list, 'Buy candles')
  await addTodo(laptop.knex, list, 'Write cards')
  await rename(phone.knex, 'Buy bread', 'Buy two breads')
  await complete(phone.knex, 'Call Ada')
  await addTodo(phone.knex, list, 'Hire a band')
  const { pending, failed } = await phone.queue.getStats()
  console.log(`  phone: ${pending} wait, ${failed} failed`)
  await syncAll()

  console.log('The laptop gets the next versions of the application while it syncs:')
  await Promise.all([
    laptop.manager.sync(),
    laptop.knex.migrate.latest().then(() => setDue(laptop.knex, 'Clean up', '2027-01-01')),
    addTodo(phone.knex, list, 'Find the guitar'),
  ])
  await syncAll()
  console.log('… and the phone later:')
  await phone.knex.migrate.latest()
  await syncAll()

  const [here = [], there = []] = await Promise.all(devices.map(({ knex }) => describe(knex)))
  for (const line of here) console.log(`  ${line}`)
  const counts = await Promise.all(devices.map(({ knex }) => countTodos(knex)))
  const isEqual = here.join('\n') === there.join('\n') && counts.every((count) => count === here.length)
  console.log(
    isEqual ? 'Both devices are equal.' : `The devices differ:\n${there.join('\n')}\n${counts.join()}`,
  )
  process.exitCode = isEqual ? 0 : 1

  const { syncHistory, conflictsResolved } = await phone.manager.getSyncStats()
  console.log(`The phone synced ${syncHistory.length} times; conflicts decided: ${conflictsResolved}`)
  console.log('Its retry queue:', JSON.stringify(await phone.queue.getStats()))
} finally {
  for (const { knex, manager } of devices) {
    await manager.close()
    await knex.destroy()
  }
}
