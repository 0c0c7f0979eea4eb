import { expect, it } from 'vitest'

import { createLibraryWorld } from './world.ts'

it('a row that this file’s schema does not take is counted, and comes when it fits', async () => {
  await using world = await createLibraryWorld()
  const [here, there] = [world.better('here'), world.better('there')]
  here.exec(
    `CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT); INSERT INTO notes VALUES ('1', NULL), ('2', 'b')`,
  )
  there.exec('CREATE TABLE notes (id TEXT PRIMARY KEY, title TEXT NOT NULL)')
  const [mine, theirs] = [await world.manager('here', here), await world.manager('there', there)]
  await mine.sync()
  expect(await theirs.sync()).toMatchObject({ received: 1 })
  expect(await theirs.getSyncStats()).toMatchObject({ totalRecords: 1, parkedRecords: 1 })

  here.exec(`UPDATE notes SET title = 'a' WHERE id = '1'`)
  await mine.sync()
  await theirs.sync()
  expect(there.prepare('SELECT title FROM notes ORDER BY id').pluck().all()).toEqual(['a', 'b'])
  expect(await theirs.getSyncStats()).toMatchObject({ totalRecords: 2, parkedRecords: 0 })
})
