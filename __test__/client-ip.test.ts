import assert from 'node:assert/strict'
import { test } from 'node:test'
import { addressKey } from '../ts/client-ip.ts'

const keys: [address: string | undefined, key: string][] = [
  ['203.0.113.7', '203.0.113.7'],
  ['::ffff:203.0.113.7', '203.0.113.7'],
  ['::FFFF:203.0.113.7', '203.0.113.7'],
  ['::ffff:cb00:7107', '203.0.113.7'],
  ['0:0:0:0:0:ffff:cb00:7107', '203.0.113.7'],
  ['203.0.113.7:51234', '203.0.113.7'],
  ['2001:db8:1:2ff:1::1', '2001:db8:1:200::/56'],
  ['2001:0DB8:0001:0200::', '2001:db8:1:200::/56'],
  ['fe80::1%eth0', 'fe80::/56'],
  ['::1', '::/56'],
  [undefined, 'unknown'],
  ['', 'unknown'],
  ['999.1.1.1', 'unknown'],
  ['127.1', 'unknown'],
  ['0x7f.0.0.1', 'unknown'],
  ['010.0.0.1', 'unknown'],
  ['203.0.113.7, 10.0.0.1', 'unknown'],
  ['not an address', 'unknown'],
  ['x'.repeat(100_000), 'unknown'],
]

for (const [address, key] of keys) {
  test(`${String(address).slice(0, 40)} has the key ${key}`, () => assert.equal(addressKey(address, 56), key))
}

test('the subnet is an option', () => {
  assert.equal(addressKey('2001:db8:1:2ff:1::1', 128), '2001:db8:1:2ff:1::1/128')
  assert.equal(addressKey('2001:db8:1:2ff:1::1', 32), '2001:db8::/32')
})
