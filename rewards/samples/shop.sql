-- A shop of 400 orders for the samples of sql_qa: a table, and the view that questions are about.
CREATE TABLE orders (order_id INTEGER PRIMARY KEY, state TEXT, month TEXT, late INTEGER, category TEXT, payment TEXT, price REAL,
  freight REAL, score INTEGER, days INTEGER);
-- Products of primes, so that no column follows from another.
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 400)
INSERT INTO orders SELECT i,
  CASE (i * i * 31 + i * 7) % 997 % 10 WHEN 0 THEN 'RJ' WHEN 1 THEN 'RJ' WHEN 2 THEN 'MG' WHEN 3 THEN 'BA' WHEN 4 THEN 'PR' ELSE 'SP' END,
  CASE (i * i * 17 + i * 5) % 991 % 3 WHEN 0 THEN '2018-01' WHEN 1 THEN '2018-02' ELSE '2018-03' END,
  (i * i * 13 + i * 11) % 983 % 6 = 0,
  CASE (i * i * 29 + i * 3) % 977 % 5 WHEN 0 THEN 'beleza' WHEN 1 THEN 'esporte' WHEN 2 THEN 'moveis' ELSE 'brinquedos' END,
  CASE (i * i * 19 + i * 2) % 971 % 4 WHEN 0 THEN 'boleto' WHEN 1 THEN 'pix' ELSE 'credit_card' END,
  20 + (i * i * 37 + i) % 967 % 431, 8 + (i * i * 23 + i) % 953 % 53, 1 + (i * i * 3 + i) % 947 % 5, 2 + (i * i * 41 + i) % 941 % 27
FROM n;
CREATE VIEW orders_enriched AS SELECT order_id, state AS customer_state, month AS purchase_month, late AS delayed,
  category AS product_category, payment AS payment_type, price, freight AS freight_value, score AS review_score,
  days AS delivery_days FROM orders;
