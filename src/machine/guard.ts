import { join } from 'node:path'

import type { IdentityGuard } from '../engine/identity.ts'
import { openIdentityGuard } from '../stores/sqlite/identity.ts'
import { makePrivateFolder, type Folders } from './folders.ts'

/** What a machine knows of a file's identity, outside the file. */
export const guardOf = (folders: Folders, file: string): IdentityGuard =>
  openIdentityGuard({ folder: makePrivateFolder(join(folders.data, 'identities')), file })
