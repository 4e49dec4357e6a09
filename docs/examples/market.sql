-- A small market in SQLite: a year of 600 orders of 40 customers, who recommend each other; docs/import.md.
CREATE TABLE customer (
    code TEXT PRIMARY KEY, name TEXT, town TEXT, member INTEGER, recommended_by TEXT REFERENCES customer (code));
CREATE TABLE product (id INTEGER PRIMARY KEY, title TEXT, price TEXT);
CREATE TABLE purchase (
    id INTEGER PRIMARY KEY, day TEXT, shipped TEXT, customer TEXT REFERENCES customer (code), paid REAL);
CREATE TABLE purchase_product (
    purchase_id INTEGER REFERENCES purchase (id), product_id INTEGER REFERENCES product (id), amount INTEGER,
    PRIMARY KEY (purchase_id, product_id));

WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 39)
INSERT INTO customer
SELECT 'C' || printf('%03d', i), 'Customer ' || i, CASE i % 3 WHEN 0 THEN 'Bonn' WHEN 1 THEN 'Graz' ELSE 'Lyon' END,
    i % 2, CASE WHEN i > 4 THEN 'C' || printf('%03d', i / 5) END FROM n;

WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 12)
INSERT INTO product SELECT i, 'Product ' || i, (2 * i) || ',50' FROM n;

WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 599)
INSERT INTO purchase
SELECT 1000 + i,
    CASE WHEN i % 3 THEN date('2023-01-01', (i * 364 / 599) || ' days')
        ELSE strftime('%d.%m.%Y', date('2023-01-01', (i * 364 / 599) || ' days')) END,
    date('2023-01-01', (i * 364 / 599 + 2) || ' days'),
    CASE i WHEN 77 THEN 'C999' WHEN 78 THEN NULL ELSE 'C' || printf('%03d', (i * i + i / 7) % 40) END,
    5 + (i * 7) % 23 + 10 * (i % 2) FROM n;

WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 599)
INSERT INTO purchase_product SELECT 1000 + i, 1 + (i * 5 + k) % 12, 1 + (i + k) % 4 FROM n, (SELECT 0 AS k UNION SELECT 3);
