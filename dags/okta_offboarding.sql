-- The HR table of the example, for a database to try it with: SQLite or PostgreSQL.
DROP TABLE IF EXISTS leavers;
CREATE TABLE leavers (employee_id INTEGER PRIMARY KEY, email VARCHAR(100) NOT NULL, last_day DATE NOT NULL);
INSERT INTO leavers VALUES
    (1001, 'ada@example.com', '2026-01-31'),
    (1002, 'alan@example.com', '2026-01-31'),
    (1003, 'barbara@example.com', '2026-02-28'),
    (1004, 'edsger@example.com', '2026-02-28'),
    (1005, 'grace@example.com', '2026-03-31'),
    (1006, 'katherine@example.com', '2026-03-31'),
    (1007, 'ken@example.com', '2099-12-31');
