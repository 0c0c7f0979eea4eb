import { createCipheriv, createDecipheriv, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'

import { expect, it } from 'vitest'

import { createLibraryWorld } from './world.ts'

const SECRET = 'the diary of nobody else'

/** As an application would: the key is on the devices, and nowhere else. */
function createCipher(key: Uint8Array) {
  return {
    encrypt(text: string): Buffer {
      const iv = randomBytes(12)
      const cipher = createCipheriv('aes-256-gcm', key, iv)
      const body = Buffer.concat([cipher.update(text, 'utf8'), cipher.final()])
      return Buffer.concat([iv, cipher.getAuthTag(), body])
    },
    decrypt(bytes: Buffer): string {
      const decipher = createDecipheriv('aes-256-gcm', key, bytes.subarray(0, 12))
      decipher.setAuthTag(bytes.subarray(12, 28))
      return Buffer.concat([decipher.update(bytes.subarray(28)), decipher.final()]).toString('utf8')
    },
  }
}

it('what an application encrypts before it writes it arrives bit for bit, and can be read by nobody between', async () => {
  await using world = await createLibraryWorld()
  const { encrypt, decrypt } = createCipher(randomBytes(32))
  const [here, there] = [world.better('here'), world.better('there')]
  for (const database of [here, there])
    database.exec('CREATE TABLE diary (id TEXT PRIMARY KEY, title TEXT, entry BLOB)')
  here.prepare('INSERT INTO diary VALUES (?, ?, ?)').run('1', 'in plain text', encrypt(SECRET))
  await (await world.manager('here', here)).seed()
  await (await world.manager('there', there)).hydrate()

  const [entry] = there.prepare('SELECT entry FROM diary').pluck().all() as Buffer[]
  expect(decrypt(entry!)).toBe(SECRET)
  // Whatever came by the cloud is in these.
  const bytes = Buffer.concat(['app.db', 'app.db-wal'].map((name) => readFileSync(world.path('there', name))))
  expect(bytes.includes('in plain text')).toBe(true)
  expect(bytes.includes(SECRET)).toBe(false)
})
