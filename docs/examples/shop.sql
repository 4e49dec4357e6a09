-- A web shop in the SQL of PostgreSQL: relscale generate --sql-schema docs/examples/shop.sql ...
CREATE TYPE order_state AS ENUM ('New', 'Paid', 'Shipped', 'Returned');

CREATE TABLE customer (
    customer_id  SERIAL PRIMARY KEY,
    full_name    VARCHAR(80) NOT NULL,
    country      CHAR(2) NOT NULL CHECK (country IN ('DE', 'FR', 'IT', 'ES')),
    born         DATE,
    newsletter   BOOLEAN NOT NULL DEFAULT FALSE
);

CREATE TABLE address (
    address_id   SERIAL PRIMARY KEY,
    customer_id  INTEGER NOT NULL REFERENCES customer (customer_id),
    city         TEXT NOT NULL,
    floor        SMALLINT CHECK (floor BETWEEN -1 AND 40)
);

CREATE TABLE product (
    product_id   SERIAL PRIMARY KEY,
    title        TEXT NOT NULL,
    category     TEXT NOT NULL CHECK (category IN ('Books', 'Garden', 'Hi-Fi; used', 'Toys')),
    price        NUMERIC(10, 2) NOT NULL CHECK (price > 0),
    rating       REAL CHECK (rating >= 1 AND rating <= 5)
);

-- Two foreign keys to one parent.
CREATE TABLE "order" (
    order_id             BIGSERIAL PRIMARY KEY,
    customer_id          INTEGER NOT NULL REFERENCES customer,
    shipping_address_id  INTEGER NOT NULL,
    billing_address_id   INTEGER,
    state                order_state NOT NULL,
    ordered_at           TIMESTAMP WITH TIME ZONE NOT NULL,
    FOREIGN KEY (shipping_address_id) REFERENCES address (address_id)
);
ALTER TABLE "order"
    ADD CONSTRAINT order_billing FOREIGN KEY (billing_address_id) REFERENCES address (address_id);

CREATE TABLE order_line (
    order_id     BIGINT NOT NULL REFERENCES "order" (order_id) ON DELETE CASCADE,
    product_id   INTEGER NOT NULL REFERENCES product (product_id),
    quantity     INTEGER NOT NULL CHECK (quantity >= 1 AND quantity <= 20),
    discount     NUMERIC(4, 2) CHECK (discount BETWEEN 0 AND 0.5)
);

CREATE TABLE review (
    review_id    SERIAL PRIMARY KEY,
    product_id   INTEGER NOT NULL REFERENCES product (product_id),
    customer_id  INTEGER REFERENCES customer (customer_id),
    stars        INTEGER NOT NULL CHECK (stars IN (1, 2, 3, 4, 5)),
    words        TEXT,
    written_on   DATE NOT NULL
);
