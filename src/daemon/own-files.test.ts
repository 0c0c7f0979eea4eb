import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'

import { expect, onTestFinished, test } from 'vitest'

import { TidemarkError } from '../kernel/errors.ts'
import { homeFolders, type Folders } from '../machine/folders.ts'
import { addAttachment, attachmentsPath, listAttachments } from './attachments.ts'
import { openPrivateDatabase } from './private-database.ts'

/** What another program, or a broken disk, has put where the daemon keeps its own. */

function makeFolders(): Folders {
  const folder = mkdtempSync(join(tmpdir(), 'tidemark-own-files-'))
  onTestFinished(() => rmSync(folder, { recursive: true, force: true }))
  return homeFolders(folder)
}

function refusalOf(work: () => unknown): TidemarkError {
  try {
    work()
  } catch (error) {
    if (error instanceof TidemarkError) return error
    throw error
  }
  throw new Error('it was taken')
}

const attachment = { file: '/a.db', space: 'a', profile: 'default', attachedAt: 1 }

test.each([
  '',
  'null',
  '{}',
  '7',
  '{"attachments":[]}',
  '[null]',
  '[{"file":5}]',
  '[{"file":"/a.db"}]',
  '[[',
])('a list of attachments that is %j is told by its name and left alone', (text) => {
  const folders = makeFolders()
  const path = attachmentsPath(folders)
  writeFileSync(path, text)
  for (const work of [() => listAttachments(folders), () => addAttachment(folders, attachment)])
    expect(refusalOf(work)).toMatchObject({ code: 'config_invalid', details: { file: path } })
  expect(readFileSync(path, 'utf8')).toBe(text)
})

test('a list of attachments is what was put into it', () => {
  const folders = makeFolders()
  expect(listAttachments(folders)).toEqual([])
  addAttachment(folders, attachment)
  expect(listAttachments(folders)).toEqual([attachment])
})

test('a daemon.db that is damaged or newer is told by its name and left alone', () => {
  const folders = makeFolders()
  const file = join(folders.data, 'daemon.db')
  const text = 'this is no database, '.repeat(100)
  writeFileSync(file, text)
  expect(refusalOf(() => openPrivateDatabase(folders))).toMatchObject({
    code: 'not_a_database',
    details: { file },
  })
  expect(readFileSync(file, 'utf8')).toBe(text)
  rmSync(file)
  const database = openPrivateDatabase(folders)
  database.pragma('user_version = 99')
  database.close()
  expect(refusalOf(() => openPrivateDatabase(folders))).toMatchObject({
    code: 'newer_database',
    details: { file },
  })
})
